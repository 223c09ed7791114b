"""`python -m domogik.manager.operations`: make the terminal's part of the table anew."""

from pathlib import Path

from domogik.manager.operations.all import TABLE
from domogik.manager.operations.terminal import module

if __name__ == "__main__":
    made = Path(__file__).parents[2] / "cli" / "commands_table.py"
    made.write_text(module(TABLE.values()), encoding="utf-8")

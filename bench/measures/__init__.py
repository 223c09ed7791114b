"""The measures, one module each; all offer `run(run)`."""

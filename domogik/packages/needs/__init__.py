"""What a package needs: found here, or where it could come from."""

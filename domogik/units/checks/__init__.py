"""Is a unit well, and does it listen on its ports?"""

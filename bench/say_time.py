"""A program of several ranks that does nothing: writes the monotonic clock in ns into FOLDER/RANK and ends."""
import os
import sys
import time

path = os.path.join(sys.argv[1], os.environ["RANK"])
with open(path + ".new", "w") as f:
    f.write(str(time.monotonic_ns()))
os.replace(path + ".new", path)

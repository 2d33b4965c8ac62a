#!/usr/bin/python3
"""Usage: peak.py RANK COMMAND...: runs the command with all descriptors (MPICH's too), and writes its peak
resident memory, in kilobytes, to r-RANK."""
import resource
import subprocess
import sys

status = subprocess.run(sys.argv[2:], close_fds=False).returncode
with open("r-" + sys.argv[1], "w") as f:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=f)
sys.exit(status)

"""measured.py COMMAND…: runs it and prints wall time, CPU time and the most memory it had, as JSON; its own words go to stderr."""

import json
import resource
import subprocess
import sys
import time

began = time.perf_counter()
ended = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
wall = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": ended, "wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "memory_bytes": used.ru_maxrss * 1024}))

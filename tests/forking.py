"""Serves dry runs: imports Snakemake once, forks for each request, so each costs its work only.

Requests are lines of JSON on stdin; each is answered by the exit code on stdout.
"""

import json
import os
import sys

import pydantic
import yaml
from snakemake import cli

assert pydantic
assert yaml

cli.get_argument_parser()  # imports the plug-ins

for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.path.insert(0, request["environment"]["PYTHONPATH"])
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = 1
        sys.argv[1:] = request["arguments"]
        try:
            cli.main(request["arguments"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else bool(end.code)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)

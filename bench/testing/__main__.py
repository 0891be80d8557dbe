"""`python -m bench.testing FILE.json`: run a file of golden cases; exit 0 only if every case matches."""

import sys

from bench.testing.golden import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

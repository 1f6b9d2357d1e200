"""`python -m slrl` is `slrl`."""

from slrl.cli import main

main()

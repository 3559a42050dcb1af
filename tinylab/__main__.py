"""`python -m tinylab` is the `tinylab` command."""

from tinylab.tools.cli import main

if __name__ == "__main__":
    main()

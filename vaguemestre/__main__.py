"""`python -m vaguemestre`: the command line."""

from vaguemestre.cli import main

if __name__ == "__main__":
    main()

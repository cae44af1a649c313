"""`python -m accountsync`: the command line, for where no script is installed."""

from accountsync.cli import main

if __name__ == "__main__":
    main()

"""cli.py: the program `reranker`, where an installation looks for it: service/commands/cli.py."""

from service.commands.cli import main

if __name__ == "__main__":
    main()

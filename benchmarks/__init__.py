"""What the project achieves: tables of results, each made again by a command."""

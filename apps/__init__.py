"""The ways in: command line, server, evaluation, pictures. All of them serve graphs, and share `apps.runs`."""

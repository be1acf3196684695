"""Runs a notebook in this directory, all cells also after an error, and writes it with its outputs to another file."""

import os
import sys

import nbformat
from nbclient import NotebookClient

source, target = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
resources = {"metadata": {"path": os.getcwd()}}
NotebookClient(notebook, kernel_name="python3", resources=resources, allow_errors=True).execute()
nbformat.write(notebook, target)

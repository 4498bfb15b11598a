"""Starts AWS's inference toolkit, which runs multi-model-server with the user's code/inference.py in it."""

import sys

from sagemaker_inference import model_server

assert sys.argv[1:] == ["serve"], sys.argv
model_server.start_model_server()

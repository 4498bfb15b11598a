"""Starts MLflow's pyfunc server where SageMaker expects a container's server."""

import os
import sys

assert sys.argv[1:] == ["serve"], sys.argv
port = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
command = ["mlflow", "models", "serve", "--model-uri", "/opt/ml/model", "--env-manager", "local", "--workers", "1",
           "--host", "0.0.0.0", "--port", port]
os.execvp("python3", ["python3", "-m", *command])

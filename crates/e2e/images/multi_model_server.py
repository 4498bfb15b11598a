"""Starts multi-model-server: with the model of /opt/ml/model, or empty and told later which models to load."""

import os
import sys

assert sys.argv[1:] == ["serve"], sys.argv
port = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
configuration = "/tmp/multi-model-server.properties"
with open(configuration, "w") as file:
    file.write(f"inference_address=http://0.0.0.0:{port}\nmanagement_address=http://0.0.0.0:{port}\n"
               "model_store=/\ndefault_workers_per_model=1\ndecode_input_request=false\n")
command = ["multi-model-server", "--start", "--foreground", "--model-store", "/", "--mms-config", configuration]
if os.environ.get("SAGEMAKER_MULTI_MODEL") != "true":
    command += ["--models", "model=/opt/ml/model"]
os.execvp(command[0], command)

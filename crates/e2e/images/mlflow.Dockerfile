# MLflow's pyfunc server, as `mlflow models serve` starts it, for a user that is not root.
FROM captura-stories/base
COPY mlflow_server.py /opt/stories/
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["python3", "/opt/stories/mlflow_server.py"]

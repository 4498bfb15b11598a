# Multi-model-server as it is, without AWS's toolkit around it.
FROM captura-stories/base
COPY multi_model_server.py /opt/stories/
LABEL com.amazonaws.sagemaker.capabilities.multi-models=true com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
WORKDIR /opt/program
ENTRYPOINT ["python3", "/opt/stories/multi_model_server.py"]

# AWS's own inference toolkit, as its framework containers use it: the user's code comes with the model.
FROM captura-stories/base
COPY toolkit_server.py models.py /opt/stories/
WORKDIR /opt/program
ENTRYPOINT ["python3", "/opt/stories/toolkit_server.py"]

# A server that answers at once and tells what it sees of the world around it.
FROM captura-stories/base
COPY plain_server.py /opt/stories/
ENTRYPOINT ["python3", "/opt/stories/plain_server.py"]

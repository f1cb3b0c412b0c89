# The HTTP service in a container.
#   CPU:  docker build -t vivant .
#   CUDA: docker build -t vivant:cuda --build-arg DEVICE=cuda .     then: docker run --gpus all ...
# The usual wheel of torch serves both, and carries CUDA's libraries. For a small CPU image give --build-arg TORCH_INDEX=URL,
# the package index with torch's CPU builds.
FROM python:3.12-slim

ARG DEVICE=cpu
ARG TORCH_INDEX=

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src ./src
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --constraint constraints.txt --index-url "$TORCH_INDEX" torch; \
    fi \
    && pip install --no-cache-dir --constraint constraints.txt ".[serve,hub,rig,onnx]" \
    && useradd --create-home --uid 1000 vivant \
    && mkdir /jobs && chown vivant /jobs

USER vivant
ENV DEVICE=$DEVICE OPTIONS=""
VOLUME /jobs
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# exec: so that SIGTERM reaches the server; docker stop waits ten seconds, --grace stays below
CMD ["sh", "-c", "exec vivant serve --host 0.0.0.0 --port 8000 --folder /jobs --device $DEVICE --grace 8 $OPTIONS"]

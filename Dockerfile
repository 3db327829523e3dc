# The page in a container:
#     docker build -t facesep . && docker run --rm -p 7860:7860 facesep
# With an NVIDIA GPU:
#     docker build --build-arg TORCH=cu128 -t facesep:cuda . && docker run --rm --gpus all -p 7860:7860 facesep:cuda
# Nothing is kept: there is no volume. With --read-only --tmpfs /tmp no photo touches a disk.
FROM python:3.12-slim AS build
ARG TORCH=cpu
COPY . /source
RUN /source/docker/install.sh /venv /source "$TORCH"

FROM python:3.12-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    GRADIO_TEMP_DIR=/tmp/gradio \
    GRADIO_ANALYTICS_ENABLED=False
WORKDIR /tmp
USER 10001:10001
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=5)"]
CMD ["facesep", "demo", "--host", "0.0.0.0", "--port", "7860"]

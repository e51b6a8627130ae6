"""From published weights to a folder that the service takes: fetch, export, quantize, optimize, check, pack.

    models/.venv/bin/models build mobilenet-v3-large --calibrate-on photos --data photos
"""

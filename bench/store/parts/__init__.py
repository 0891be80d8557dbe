"""What one cell's folder holds, file by file: bytes and JSON, arrays, the record, the bits; read safely and checked."""

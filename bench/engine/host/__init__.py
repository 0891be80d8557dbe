"""The machine: devices, processes, memory."""

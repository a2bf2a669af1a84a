"""The load generators: processes of their own, so that their CPU is counted and never mixed with a server's.

Each is started with a JSON specification, answers with JSON lines and does as little as it can: the letters are
made beforehand, replies are read but not understood.
"""

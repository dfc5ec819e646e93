"""Files that people send: kept apart, looked at by a process that can do no harm, and deleted when refused."""

"""What every room may use: errors that speak to a student, the device, tables, memory and threads."""

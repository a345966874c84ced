"""AWS on this machine: moto behind one server, filled from `template.yaml`."""

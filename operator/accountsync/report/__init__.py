"""What leaves the operator besides the resource's own status."""

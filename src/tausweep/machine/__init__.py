"""What a job runs on: device, CPU instructions, peer processes."""

"""Random views of images, drawn on the CPU and rendered in batches on a device."""

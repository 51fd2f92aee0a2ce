"""The user's own data: folders of pictures, volumes and DICOM, with masks or sorted into classes."""

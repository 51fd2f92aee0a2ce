"""All methods. One file is one method; `registry` is their table."""

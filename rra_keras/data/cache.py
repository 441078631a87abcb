"""Files that stay in memory, so that a slow disk or network is only read in the first epoch.

What stays is the files' own bytes: they are a tenth of the pixels, and what is random comes after
them. On a local disk the operating system does the same by itself.
"""

import psutil

SHARE = 0.25  # of the memory that is available when the data are loaded


def fits(size):
    """Return whether `size` bytes may stay in memory."""
    return size < SHARE * psutil.virtual_memory().available


def remembering_read_file():
    """Return a function like `tf.io.read_file` that reads each file once, whatever the order.

    It takes the file's number, an int64 scalar tensor, before its path. Any number of datasets and
    threads may call it; they share what it remembers.
    """
    import tensorflow as tf

    contents = tf.lookup.experimental.MutableHashTable(tf.int64, tf.string, default_value="")

    def read_file(index, path):
        def read_and_remember():
            content = tf.io.read_file(path)
            with tf.control_dependencies([contents.insert(index, content)]):
                return tf.identity(content)

        content = contents.lookup(index)
        return tf.cond(content == "", read_and_remember, lambda: content)

    return read_file

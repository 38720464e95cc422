"""Makes torrents of version 1, version 2 and both of a folder, and says what libtorrent knows them by.

usage: make_torrents.py CONTENT FOLDER

Prints a line for each: file name, info-hash of version 1, that of version 2, bytes of all files; "-" where
there is none.
"""

import os
import sys

try:
    import libtorrent as lt
except ImportError as error:
    sys.exit(f"libtorrent for Debian's Python is missing ({error}); scripts/test.sh installs it")

KINDS = {
    "v1.torrent": lt.create_torrent.v1_only,
    "v2.torrent": lt.create_torrent.v2_only,
    "hybrid.torrent": 0,
}


def main(content, folder):
    for name, flags in KINDS.items():
        files = lt.file_storage()
        lt.add_files(files, content)
        pads = lt.file_flags_t.flag_pad_file
        wanted = [i for i in range(files.num_files()) if not files.file_flags(i) & pads]
        size = sum(files.file_size(i) for i in wanted)
        torrent = lt.create_torrent(files, 0, flags)
        torrent.set_creator("libtorrent's own")
        torrent.set_comment("<b>not bold</b>")
        torrent.add_tracker("udp://127.0.0.1:6969/announce")
        lt.set_piece_hashes(torrent, os.path.dirname(content))
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(lt.bencode(torrent.generate()))
        hashes = lt.torrent_info(path).info_hashes()
        v1 = str(hashes.v1) if hashes.has_v1() else "-"
        v2 = str(hashes.v2) if hashes.has_v2() else "-"
        print(name, v1, v2, size)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])

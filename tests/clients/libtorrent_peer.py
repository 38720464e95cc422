"""One libtorrent client for one torrent: hands out or fetches the file, until SIGTERM.

usage: libtorrent_peer.py TORRENT FOLDER ADDRESS...

Listens on these addresses alone and meets peers through the tracker alone. SIGUSR1 makes it scrape.
Everything that libtorrent has to tell goes to stdout.
"""

import signal
import sys

try:
    import libtorrent as lt
except ImportError as error:
    sys.exit(f"libtorrent for Debian's Python is missing ({error}); scripts/test.sh installs it")

SETTINGS = {
    # The tracker is the only way to meet.
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # Plain TCP; uTP between different clients on loopback is slow to give up on.
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    # On loopback every peer has the same address.
    "allow_multiple_connections_per_ip": True,
    # Else a tracker on loopback may have no other path than /announce.
    "ssrf_mitigation": False,
    "alert_mask": (
        lt.alert.category_t.connect_notification
        | lt.alert.category_t.error_notification
        | lt.alert.category_t.peer_notification
        | lt.alert.category_t.status_notification
        | lt.alert.category_t.tracker_notification
    ),
}

# No default plugins, hence no peer exchange.
SESSION_FLAGS = 0

# Milliseconds after which a signal is noticed at the latest.
PATIENCE_MS = 100


def main(torrent, folder, *addresses):
    stop_asked, scrape_asked = [], []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop_asked.append(True))
    signal.signal(signal.SIGUSR1, lambda *_: scrape_asked.append(True))

    interfaces = ",".join(f"{address}:0" for address in addresses)
    settings = dict(SETTINGS, listen_interfaces=interfaces)
    session = lt.session(settings, SESSION_FLAGS)
    handle = session.add_torrent({
        "ti": lt.torrent_info(torrent),
        "save_path": folder,
        # Runs until it is told otherwise, rather than when a queue lets it.
        "flags": lt.torrent_flags.update_subscribe,
    })
    while not stop_asked:
        if scrape_asked:
            scrape_asked.clear()
            handle.scrape_tracker()
        for alert in told(session):
            if isinstance(alert, lt.scrape_reply_alert):
                tell_scrape(handle, alert)

    # A session that just ends does not say goodbye to a UDP tracker; a paused torrent does.
    handle.pause()
    while True:
        for alert in told(session):
            if isinstance(alert, lt.tracker_error_alert):
                sys.exit(f"the tracker took no goodbye: {alert.message()}")
            if isinstance(alert, lt.tracker_reply_alert):
                # Ending the session writes out what is not yet on disk.
                return


def tell_scrape(handle, reply):
    """What a scrape says. How often the torrent was completed stands beside its tracker only."""
    [tracker] = handle.trackers()
    completed = tracker["scrape_downloaded"]
    counts = f"{reply.complete} complete, {reply.incomplete} incomplete, {completed} downloaded"
    print(f"scraped: {counts}", flush=True)


def told(session):
    """What libtorrent has to tell, once there is something or the wait gets long."""
    session.wait_for_alert(PATIENCE_MS)
    alerts = session.pop_alerts()
    for alert in alerts:
        print(f"{alert.what()}: {alert.message()}", flush=True)
    return alerts


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

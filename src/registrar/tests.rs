use tempfile::TempDir;

use super::*;
use crate::gate::keys::KeyFault;
use crate::store::{Claim, OnDamage};

const CORES: usize = 3;

fn registrar(records: Option<&Arc<Records>>) -> Registrar {
    let config = Config::default();
    let steering = Steering::new(7, CORES);
    Registrar::start(&config, CORES, steering, records.cloned(), &Clock::start()).unwrap()
}

fn no_records() -> (TempDir, Arc<Records>) {
    let folder = TempDir::new().unwrap();
    let claim = Arc::new(Claim::stake(folder.path()).unwrap());
    let opened = Records::open(&claim, OnDamage::Refuse, 0);
    let opened = opened.unwrap_or_else(|refusal| panic!("{}", refusal.sentence()));
    (folder, Arc::new(opened.store))
}

fn hashes(bytes: std::ops::Range<u8>) -> Vec<InfoHash> {
    bytes.map(|byte| InfoHash([byte; 20])).collect()
}

#[test]
fn a_change_is_in_force_when_the_call_returns_and_after_a_restart() {
    let (_folder, records) = no_records();
    let keys = {
        let registrar = registrar(Some(&records));
        assert_eq!(registrar.allow(&hashes(0..9), "me", "").unwrap(), 9);
        assert_eq!(registrar.allow(&hashes(8..10), "me", "").unwrap(), 1);
        assert_eq!(registrar.disallow(&hashes(0..2), "me", "").unwrap(), 2);
        assert_eq!(registrar.block(&hashes(5..7), "me", "order").unwrap(), 2);
        assert_eq!(registrar.unblock(&hashes(6..8), "me", "").unwrap(), 1);
        let network = [
            "192.0.2.0/24".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        assert_eq!(
            registrar.block_networks(&network, "me", "flood").unwrap(),
            2
        );
        assert_eq!(
            registrar.unblock_networks(&network[1..], "me", "").unwrap(),
            1
        );
        let first = registrar.add_key(None, None, "me").unwrap();
        let second = registrar.add_key(None, Some(60), "me").unwrap();
        assert!(registrar.remove_key(&first.0, "me").unwrap());
        assert!(!registrar.remove_key(&first.0, "me").unwrap());
        (first, second)
    };
    for registrar in [registrar(Some(&records)), registrar(Some(&records))] {
        for byte in 0..12 {
            let hash = InfoHash([byte; 20]);
            assert_eq!(
                registrar.is_allowed(&hash),
                (2..10).contains(&byte),
                "{byte}"
            );
            assert_eq!(registrar.is_blocked(&hash), byte == 5, "{byte}");
        }
        let access = registrar.access().load();
        assert!(access.blocks_source("192.0.2.7".parse().unwrap()));
        assert!(!access.blocks_source("2001:db8::1".parse().unwrap()));
        let ((first, _), (second, row)) = keys;
        assert_eq!(access.keys.verify(&first, 0), Err(KeyFault::Unknown));
        assert_eq!(access.keys.verify(&second, 0), Ok(row.id));
        assert_eq!(registrar.key_of(row.id), Some(second));
        let newest = registrar.add_key(None, None, "me").unwrap();
        assert!(newest.1.id > row.id);
        registrar.remove_key(&newest.0, "me").unwrap();
    }
}

#[test]
fn a_mode_lasts_until_the_configuration_is_read_again() {
    let (_folder, records) = no_records();
    let registrar = registrar(Some(&records));
    registrar.allow(&hashes(1..2), "me", "").unwrap();
    registrar.set_mode(Mode::PrivateListed, "me");
    assert_eq!(registrar.mode(), Mode::PrivateListed);
    for byte in 0..3 {
        let hash = InfoHash([byte; 20]);
        let core = registrar.steering.core_of(&hash);
        let permits = registrar.access().load().hashes[core].permits(&hash);
        assert_eq!(permits, byte == 1);
    }
    assert_eq!(registrar.reload(&Config::default()), Vec::<String>::new());
    assert_eq!(registrar.mode(), Mode::Public);
    assert!(registrar.is_allowed(&InfoHash([1; 20])));
}

#[test]
fn what_is_the_same_is_not_made_twice() {
    let (_folder, records) = no_records();
    let registrar = registrar(Some(&records));
    let (key, _) = registrar.add_key(None, None, "me").unwrap();
    let again = registrar.add_key(Some(key), None, "me");
    assert!(matches!(again, Err(RegistrarError::KeyExists)));
    let endless = registrar.add_key(None, Some(u64::MAX), "me");
    assert!(matches!(endless, Err(RegistrarError::Overflow)));
}

#[test]
fn without_a_store_nothing_changes_and_the_reason_is_told() {
    let registrar = registrar(None);
    let refused = registrar.block(&hashes(1..2), "me", "").unwrap_err();
    assert!(refused.to_string().contains("store.path"), "{refused}");
    assert!(!registrar.is_blocked(&InfoHash([1; 20])));
    registrar.set_mode(Mode::Listed, "me");
    assert_eq!(registrar.mode(), Mode::Listed);
}

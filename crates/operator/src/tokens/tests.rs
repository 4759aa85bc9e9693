use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::testing::workload;

struct World {
    _folder: tempfile::TempDir,
    tokens: Tokens,
    start: Moment,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(folder.path().join("tokens")).unwrap();
    World { _folder: folder, tokens, start: Moment::now() }
}

impl World {
    fn after(&self, seconds: u64) -> Moment {
        let passed = Duration::from_secs(seconds);
        Moment { wall: self.start.wall + passed, steady: self.start.steady + passed }
    }

    fn sync(&self, names: &[&str], now: Moment) {
        let workloads = names.iter().map(|name| workload(name)).collect();
        assert!(self.tokens.sync(&workloads, now).is_empty());
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.tokens.folder.join(file_name(&workload(name)))).unwrap()
    }
}

#[test]
fn a_token_speaks_for_its_own_workload_only() {
    let world = world();
    world.sync(&["shop/web", "shop/orders"], world.start);
    let (web, orders) = (world.read("shop/web"), world.read("shop/orders"));
    assert_ne!(web, orders);
    assert_eq!(web.len(), 43);
    assert_eq!(world.tokens.verify(&web, world.start), Ok(workload("shop/web")));
    assert_eq!(world.tokens.verify(&[&orders[..], b"\n"].concat(), world.start), Ok(workload("shop/orders")));
}

#[test]
fn what_is_not_a_token_proves_nobody() {
    let world = world();
    world.sync(&["shop/web"], world.start);
    let good = world.read("shop/web");
    let mut forged = good.clone();
    forged[0] ^= 1;
    let cases: [(&[u8], TokenRefusal); 6] = [
        (b"", TokenRefusal::Empty),
        (b" \n", TokenRefusal::Empty),
        (&forged, TokenRefusal::Unknown),
        (&good[..42], TokenRefusal::Unknown),
        (&[0; 1024], TokenRefusal::Unknown),
        (&[b'a'; 1025], TokenRefusal::TooLong),
    ];
    for (token, refusal) in cases {
        assert_eq!(world.tokens.verify(token, world.start), Err(refusal));
    }
}

#[test]
fn the_file_is_rewritten_in_time_and_the_previous_token_lives_to_its_own_end() {
    let world = world();
    world.sync(&["shop/web"], world.start);
    let first = world.read("shop/web");
    world.sync(&["shop/web"], world.after(239));
    assert_eq!(world.read("shop/web"), first);
    world.sync(&["shop/web"], world.after(240));
    let second = world.read("shop/web");
    assert_ne!(second, first);
    assert_eq!(world.tokens.verify(&first, world.after(599)), Ok(workload("shop/web")));
    assert_eq!(world.tokens.verify(&first, world.after(600)), Err(TokenRefusal::Expired));
    assert_eq!(world.tokens.verify(&second, world.after(839)), Ok(workload("shop/web")));
}

#[test]
fn a_suspended_machine_and_a_clock_that_is_set_back_end_a_token() {
    let world = world();
    world.sync(&["shop/web"], world.start);
    let token = world.read("shop/web");
    let resumed = Moment { wall: world.after(3_600).wall, steady: world.start.steady };
    assert_eq!(world.tokens.verify(&token, resumed), Err(TokenRefusal::Expired));
    let set_back = Moment { wall: world.start.wall - Duration::from_secs(60), steady: world.start.steady };
    assert_eq!(world.tokens.verify(&token, set_back), Err(TokenRefusal::Expired));
    world.sync(&["shop/web"], resumed);
    assert!(world.tokens.verify(&world.read("shop/web"), resumed).is_ok());
}

#[test]
fn a_workload_that_vanishes_loses_its_tokens_at_once() {
    let world = world();
    world.sync(&["shop/web", "shop/orders"], world.start);
    let old = world.read("shop/web");
    world.sync(&["shop/web", "shop/orders"], world.after(300));
    let token = world.read("shop/web");
    world.sync(&["shop/orders"], world.after(301));
    for token in [old, token] {
        assert_eq!(world.tokens.verify(&token, world.after(301)), Err(TokenRefusal::Unknown));
    }
    assert!(!world.tokens.folder.join("shop.web.token").exists());
}

#[test]
fn files_are_private_and_those_of_an_earlier_run_are_void_and_gone() {
    let world = world();
    world.sync(&["shop/web"], world.start);
    let path = world.tokens.folder.join("shop.web.token");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&world.tokens.folder).unwrap().mode() & 0o777, 0o700);
    let token = world.read("shop/web");
    let again = Tokens::open(world.tokens.folder.clone()).unwrap();
    assert!(!path.exists());
    assert_eq!(again.verify(&token, world.start), Err(TokenRefusal::Unknown));
    std::fs::set_permissions(&world.tokens.folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Tokens::open(world.tokens.folder.clone()).is_err());
}

#[test]
fn a_token_that_cannot_be_written_is_not_believed_and_is_tried_again() {
    let world = world();
    std::fs::remove_dir(&world.tokens.folder).unwrap();
    let workloads = [workload("shop/web")].into();
    assert_eq!(world.tokens.sync(&workloads, world.start).len(), 1);
    assert!(world.tokens.lock().by_digest.is_empty());
    std::fs::create_dir(&world.tokens.folder).unwrap();
    world.sync(&["shop/web"], world.start);
    assert!(world.tokens.verify(&world.read("shop/web"), world.start).is_ok());
}

#[test]
fn base64_is_that_of_the_standard() {
    for (bytes, text) in
        [(&b""[..], ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"\xfb\xff\xfe", "-__-")]
    {
        assert_eq!(base64url(bytes), text);
    }
}

use proptest::prelude::*;

use super::Port;

#[test]
fn only_1_to_65535_are_ports() {
    assert_eq!(Port::try_from(1_u32).unwrap().number(), 1);
    assert_eq!(Port::try_from(65_535_u32).unwrap().number(), 65_535);
    for bad in [0_u32, 65_536, u32::MAX] {
        assert!(Port::try_from(bad).unwrap_err().to_string().contains(&format!("`{bad}`")));
    }
}

#[test]
fn a_ports_text_is_digits_only() {
    for bad in
        ["", "0", "+80", "-80", " 80", "80 ", "8_0", "0x50", "65536", "99999999999999999999", "\u{663}"]
    {
        bad.parse::<Port>().unwrap_err();
    }
    assert_eq!("080".parse::<Port>().unwrap().number(), 80);
}

proptest! {
    #[test]
    fn a_port_prints_as_it_parses(number in 1_u16..) {
        let port = Port::try_from(number).unwrap();
        prop_assert_eq!(port.to_string().parse::<Port>().unwrap(), port);
        prop_assert_eq!(u32::from(port), u32::from(number));
    }
}

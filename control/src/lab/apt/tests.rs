use super::*;

const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";
const UBUNTU: &str = "NAME=\"Ubuntu\"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n";

fn check(release: &str, targets: &str, suite: Suite, expected: &[&str]) {
    let sources = System::read(release, targets).sources(suite).unwrap_or_default();
    let lines: Vec<String> = sources
        .lines()
        .map(|line| line.split(' ').filter(|word| !word.starts_with("[signed-by=")).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn debian_takes_mysql_from_unstable_and_tools_from_its_own_suite() {
    let targets = "http://keys.example/apt/|cloud-bookworm|main\n\
        http://mirror.example/debian/|bookworm|main\n\
        http://mirror.example/debian/|bookworm|contrib\n\
        http://mirror.example/debian/|bookworm-updates|main\n\
        http://mirror.example/debian-security/|bookworm-security|main\n\
        http://third.example/linux/debian/|bookworm|stable\n\
        http://third.example/pg/|bookworm-pgdg|main\n";
    check(DEBIAN, targets, Suite::WithMysql, &["deb http://mirror.example/debian/ sid main"]);
    check(
        DEBIAN,
        targets,
        Suite::Own,
        &[
            "deb http://mirror.example/debian/ bookworm main",
            "deb http://mirror.example/debian/ bookworm-updates main",
            "deb http://mirror.example/debian-security/ bookworm-security main",
        ],
    );
}

#[test]
fn ubuntu_takes_everything_from_its_own_suite() {
    let targets = "mirror+file:/etc/apt/mirrors.txt|noble|main\nmirror+file:/etc/apt/mirrors.txt|noble|universe\n\
        mirror+file:/etc/apt/mirrors.txt|noble|multiverse\nhttp://mirror.example/ubuntu/|noble-security|main\n";
    let expected = [
        "deb mirror+file:/etc/apt/mirrors.txt noble main",
        "deb mirror+file:/etc/apt/mirrors.txt noble universe",
        "deb http://mirror.example/ubuntu/ noble-security main",
    ];
    check(UBUNTU, targets, Suite::WithMysql, &expected);
    check(UBUNTU, targets, Suite::Own, &expected);
}

#[test]
fn a_system_without_its_own_mirror_has_no_sources() {
    check(DEBIAN, "http://third.example/|nodistro|main\n", Suite::WithMysql, &[]);
    check("ID=arch\n", "", Suite::Own, &[]);
    check(
        "ID=debian\n",
        "http://mirror.example/debian/|sid|main\n",
        Suite::Own,
        &["deb http://mirror.example/debian/ sid main"],
    );
}

#[test]
fn a_starred_package_is_the_plain_or_the_newest_one() {
    let check = |package: &str, names: &str, expected: Option<&str>| {
        assert_eq!(choose(package, names).as_deref(), expected, "{package} in {names:?}");
    };
    check("mysql-server-core*", "mysql-server-core-8.0\nmysql-server-core-8.4\n", Some("mysql-server-core-8.4"));
    check("mysql-server-core*", "mysql-server-core-8.4\nmysql-server-core\n", Some("mysql-server-core"));
    check("mysql-server-core*", "mysql-server-core-dbg\n", None);
    check("mysql-server-core*", "mysql-server-core-8.4\nmysql-server-core-10.0\n", Some("mysql-server-core-10.0"));
    check("patchelf", "patchelf\npatchelf-dbg\n", Some("patchelf"));
    check("patchelf", "patchelfx\n", None);
}

#[test]
fn the_plan_gives_files_and_sizes() {
    let text = "Reading package lists...\n\
        'http://mirror.example/pool/libc6_2.43-7_amd64.deb' libc6_2.43-7_amd64.deb 1866392 SHA256:ab\n\
        'http://mirror.example/x_1%3a2_all.deb' x_1%3a2_all.deb 12 \n";
    let expected = [("libc6_2.43-7_amd64.deb".to_owned(), 1_866_392), ("x_1%3a2_all.deb".to_owned(), 12)];
    assert_eq!(archives(text), expected);
}

#[test]
fn the_configuration_keeps_proxies_and_drops_hooks() {
    let settings = "APT::Update::Post-Invoke:: \"rm -f /var/cache/apt/archives/*.deb\";\n\
        Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::Languages:: \"en\";\nDir::Cache \"var/cache/apt\";\n";
    let text = configuration(Path::new("/c/apt"), settings);
    assert!(text.contains("Acquire::http::Proxy \"http://proxy.example:3128\";"), "{text}");
    assert!(text.contains("Dir::Etc::parts \"/c/apt/empty\";"), "{text}");
    assert!(text.contains("Dir::Cache \"/c/apt/cache\";"), "{text}");
    assert!(!text.contains("Post-Invoke") && !text.contains("var/cache/apt\""), "{text}");
}

#[test]
fn apts_words_tell_whose_fault_it_is() {
    let check = |text: &str, expected: Fault| assert_eq!(Fault::of(text), expected, "{text}");
    check("E: You don't have enough free space in /c/.", Fault::Disk);
    check("E: Failed to fetch http://m.example/x  Could not resolve 'm.example'", Fault::Mirror);
    check("E: The repository 'http://m.example sid Release' does not have a Release file.", Fault::Mirror);
    check("E: The repository 'http://m.example sid InRelease' is not signed.", Fault::Signature);
    check("W: GPG error: http://m.example sid InRelease: NO_PUBKEY 0123", Fault::Signature);
    check("E: Unmet dependencies", Fault::Other);
}

use super::*;

fn plot(lines: Vec<Line>) -> Plot {
    Plot {
        title: "CPU & <time>".to_owned(),
        subtitle: "medians of 3 rounds".to_owned(),
        x: Axis { label: "clients".to_owned(), scale: Scale::Steps(vec![1.0, 8.0, 64.0]) },
        y: Axis { label: "CPU per query (µs)".to_owned(), scale: Scale::Linear },
        lines,
    }
}

fn line(name: &str, number: usize, points: &[(f64, f64)]) -> Line {
    Line { name: name.to_owned(), number, points: points.to_vec() }
}

#[test]
fn a_plot_is_well_formed_and_says_what_it_shows() {
    let lines = vec![
        line("weir", 2, &[(1.0, 20.0), (8.0, 12.0), (64.0, 9.0)]),
        line("haproxy", 3, &[(1.0, 26.0), (64.0, 8.0)]),
        line("direct", 0, &[]),
    ];
    let svg = plot(lines).to_svg().unwrap();
    let elements = check::elements(&svg).unwrap();
    let texts: Vec<&str> = elements.iter().filter(|e| e.name == "text").map(|e| e.text.as_str()).collect();
    for expected in ["CPU & <time>", "clients", "CPU per query (µs)", "8", "64", "0", "30", "weir", "haproxy"] {
        assert!(texts.contains(&expected), "{expected} in {texts:?}");
    }
    assert!(!texts.contains(&"direct"), "a line without points has no legend");
    let count = |name: &str| elements.iter().filter(|element| element.name == name).count();
    // Two lines and their two pieces of legend; a mark for each point and each piece.
    assert_eq!((count("polyline"), count("polygon")), (4, 7));
    assert!(!svg.contains("href") && !svg.contains("url("), "nothing from outside");
}

#[test]
fn every_point_lies_in_the_frame_and_higher_is_up() {
    let svg = plot(vec![line("weir", 2, &[(1.0, 0.0), (8.0, 11.0), (64.0, 29.9)])]).to_svg().unwrap();
    let elements = check::elements(&svg).unwrap();
    let points = elements.iter().find(|e| e.name == "polyline").and_then(|e| e.attribute("points")).unwrap();
    let points: Vec<(f64, f64)> = points
        .split(' ')
        .map(|point| point.split_once(',').unwrap())
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect();
    assert_eq!(points.len(), 3);
    assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1), "{points:?}");
    let inside = |(x, y): &(f64, f64)| (FRAME.left..=FRAME.right).contains(x) && (FRAME.top..=FRAME.bottom).contains(y);
    assert!(points.iter().all(inside), "{points:?}");
}

#[test]
fn one_point_is_a_plot() {
    let svg = plot(vec![line("weir", 2, &[(8.0, 5.0)])]).to_svg().unwrap();
    assert!(check::elements(&svg).is_ok() && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn nothing_is_an_error_in_words() {
    for lines in [vec![], vec![line("weir", 2, &[])]] {
        let error = plot(lines).to_svg().unwrap_err();
        assert_eq!(error.to_string(), "there is nothing to draw for \"CPU & <time>\"");
    }
    let error = plot(vec![line("weir", 2, &[(0.0, 5.0)])]).to_svg().unwrap_err();
    assert_eq!(error.to_string(), "the axes cannot show the point (0, 5) of weir");
    assert!(plot(vec![line("weir", 2, &[(1.0, f64::NAN)])]).to_svg().is_err());
}

#[test]
fn long_texts_are_cut() {
    assert_eq!(shortened("µµµµ", 3), "µµµ…");
    assert_eq!(shortened("µµµ", 3), "µµµ");
}

fn main() {
    for path in std::env::args().skip(1) {
        let mut s = gannet_lang::diag::Sources::default();
        let id = s.add(&path, std::fs::read_to_string(&path).unwrap());
        match gannet_lang::parse(&s, id) {
            Ok(f) => println!("{path}: {} items", f.items.len()),
            Err(e) => {
                for d in e.0 {
                    let (l, c) = d.span.map(|x| s.position(x)).unwrap_or((0, 0));
                    println!("{path}:{l}:{c}: [{}] {} {:?}", d.code, d.message, d.hints);
                }
            }
        }
    }
}

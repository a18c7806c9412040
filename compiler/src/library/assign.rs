//! The optimal assignment, by shortest augmenting paths with potentials (Jonker and Volgenant 1987, in the plain form
//! that takes one row after the other).

/// The column of each of `rows` rows, all different, with the least total cost.
pub fn assign(rows: usize, columns: usize, cost: &[f64]) -> Result<Vec<f64>, String> {
    if rows > columns {
        return Err(format!("{rows} rows cannot have different columns out of {columns}"));
    }
    if cost.iter().any(|c| c.is_nan()) {
        return Err("a cost is NaN".into());
    }
    // Infinities are taken for the largest numbers that can still be added up.
    let cost = |i: usize, j: usize| cost[i * columns + j].clamp(-1e100, 1e100);
    let (mut u, mut v) = (vec![0.0; rows], vec![0.0; columns]);
    let mut row_of: Vec<Option<usize>> = vec![None; columns];
    for row in 0..rows {
        let mut shortest = vec![f64::INFINITY; columns];
        let mut from: Vec<Option<usize>> = vec![None; columns];
        let mut done = vec![false; columns];
        let (mut i, mut last) = (row, None);
        // The shortest path from the row to a free column.
        let end = loop {
            for j in (0..columns).filter(|j| !done[*j]) {
                let reduced = cost(i, j) - u[i] - v[j];
                if reduced < shortest[j] {
                    (shortest[j], from[j]) = (reduced, last);
                }
            }
            let open = (0..columns).filter(|j| !done[*j]);
            let j = open.reduce(|a, b| if shortest[b] < shortest[a] { b } else { a }).expect("a free column is left");
            let step = shortest[j];
            u[row] += step;
            for k in 0..columns {
                match row_of[k] {
                    Some(r) if done[k] => (u[r], v[k]) = (u[r] + step, v[k] - step),
                    _ => shortest[k] -= step,
                }
            }
            done[j] = true;
            match row_of[j] {
                Some(r) => (i, last) = (r, Some(j)),
                None => break j,
            }
        };
        let mut j = end;
        while let Some(before) = from[j] {
            row_of[j] = row_of[before];
            j = before;
        }
        row_of[j] = Some(row);
    }
    let mut column = vec![0.0; rows];
    row_of.iter().enumerate().for_each(|(j, r)| {
        if let Some(r) = r {
            column[*r] = j as f64;
        }
    });
    Ok(column)
}

//! Convolutions and pooling of the library, one image at a time and on batches.

mod common;

use gannet::Model;

const TASK: &str = "
dim row = 7, column = 6, image = 3, channel = 2
task t() real f64 {
  x ~ normal[image, channel, row, column]
  f = conv(5)
  g = conv(4, stride = 2)
  whole = g(maxpool(relu(f(x))))
  each[b] = g(maxpool(relu(f(x[b]))))
  report chained = max(abs(whole - each))
  report pooled = max[b, c, i, j](abs(avgpool(x)[b, c, i, j] - (x[b, c, 2*i, 2*j] + x[b, c, 2*i + 1, 2*j] + x[b, c, 2*i, 2*j + 1] + x[b, c, 2*i + 1, 2*j + 1])/4))
  d ~ normal[4, image]
  y[.., k: 4] = d[k, ..]
  report turned = max[b, k](abs(y[b, k] - d[k, b]))
  best[k: 4] = argmax[i: 4](i == k)
  many[k: 4] = count[i: 4 | i < k](i != 0) + 10*count[i: 4](1.5*i) + 100*count[i: 4 | i < k](0*i)
  report counted = max[k](abs(many[k] - max(k - 1, 0) - 40 - 100*k))
  report place = max[k](abs(best[k] - k))
}
";

#[test]
fn batches_stay_in_front() {
    let model = Model::from_source("convolution.gnt", TASK).unwrap_or_else(|e| panic!("{e}"));
    for (name, x) in common::reports_of(&model).unwrap_or_else(|e| panic!("{e}")) {
        assert!(x < 1e-12, "{name} is {x}");
    }
}

//! Images, PNG and JPEG: their entries as the files have them, 0 to 255.
//! Law: an image's size is held against the field's before its entries take memory.

use super::Sizes;
use super::array::{Array, Numbers};
use super::source::{Fault, bytes_of};
use gannet_lang::diag::Code;
use gannet_lang::program::{Dim, Field};
use std::path::{Path, PathBuf};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Points of one image beyond which a size in a header is not believed.
const MOST_POINTS: usize = 1 << 26;

/// The images of some files, as the field is declared: `[image, row, column]`, `[image, row, column, channel]`, or all
/// points of an image in one dim.
pub fn read(
    files: &[PathBuf],
    pattern: &str,
    (field, dims): (&Field, &[Dim]),
    sizes: &mut Sizes,
) -> Result<Array, Fault> {
    if !matches!(field.dims.len(), 1..=3) {
        let over = shown(field, dims, sizes);
        let message = format!("field `{}` is declared over [{over}], and an image has rows and columns", field.name);
        return Err(
            Fault::new(Code::G0502, message).hint("declare `real[row, column]` or `real[row, column, channel]`")
        );
    }
    let (mut entries, mut first) = (Vec::new(), None);
    for path in files {
        let image = Image::open(path)?.fits((field, dims), sizes)?;
        if *first.get_or_insert(image.size) != image.size {
            return Err(image.unlike((field, dims), sizes));
        }
        image.read_into(&mut entries)?;
    }
    let each = field.dims.iter().map(|d| sizes.get(*d).expect("bound by the first image") as usize);
    let shape = std::iter::once(files.len()).chain(each).collect();
    Array::new(pattern.to_string(), shape, Numbers::U8(entries))
}

/// The field's dims with their sizes, as far as these are known.
fn shown(field: &Field, dims: &[Dim], sizes: &Sizes) -> String {
    let each = field.dims.iter().map(|d| {
        let size = sizes.get(*d).map(|n| format!(" = {n}")).unwrap_or_default();
        format!("{}{size}", dims[d.index()].name)
    });
    each.collect::<Vec<_>>().join(", ")
}

/// An image of which only the header was read.
struct Image {
    file: String,
    /// Rows, columns, channels.
    size: [usize; 3],
    body: Body,
}

enum Body {
    Png(Box<png::Reader<ZCursor<Vec<u8>>>>),
    Jpeg(Box<JpegDecoder<ZCursor<Vec<u8>>>>),
}

impl Image {
    /// The format is what the first bytes say, whatever the name.
    fn open(path: &Path) -> Result<Image, Fault> {
        let file = path.display().to_string();
        let bytes = bytes_of(path)?;
        match &bytes[..] {
            [0x89, b'P', b'N', b'G', ..] => Image::png(bytes, file),
            [0xff, 0xd8, ..] => Image::jpeg(bytes, file),
            _ => Err(Fault::new(Code::G0501, format!("`{file}` is neither PNG nor JPEG"))
                .hint("the first bytes of the file say what it is, not its name; convert it")),
        }
    }

    fn png(bytes: Vec<u8>, file: String) -> Result<Image, Fault> {
        let mut decoder = png::Decoder::new(ZCursor::new(bytes));
        // Colours of a palette and less than 8 bits become whole bytes.
        decoder.set_transformations(png::Transformations::EXPAND);
        let reader = decoder.read_info().map_err(|e| bad(&file, "PNG", &e))?;
        let (colour, depth) = reader.output_color_type();
        if depth != png::BitDepth::Eight {
            return Err(Fault::new(Code::G0502, format!("`{file}` has 16 bits a channel, 8 are read"))
                .hint("save it with 8 bits a channel, or keep the numbers as an npy array"));
        }
        let (columns, rows) = reader.info().size();
        let size = [rows as usize, columns as usize, colour.samples()];
        Ok(Image { file, size, body: Body::Png(Box::new(reader)) })
    }

    fn jpeg(bytes: Vec<u8>, file: String) -> Result<Image, Fault> {
        // Without being strict, what is missing of a file would be gray.
        let options = DecoderOptions::default().set_strict_mode(true);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|e| bad(&file, "JPEG", &e))?;
        let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
        let colour = if gray { ColorSpace::Luma } else { ColorSpace::RGB };
        decoder.set_options(options.jpeg_set_out_colorspace(colour));
        let info = decoder.info().expect("the headers were read");
        let size = [usize::from(info.height), usize::from(info.width), colour.num_components()];
        Ok(Image { file, size, body: Body::Jpeg(Box::new(decoder)) })
    }

    /// Holds the size against the field's; open dims get theirs from the first image.
    fn fits(self, (field, all): (&Field, &[Dim]), sizes: &mut Sizes) -> Result<Image, Fault> {
        let [rows, columns, channels] = self.size;
        let points = rows.saturating_mul(columns);
        let own = match field.dims.len() {
            1 => vec![points.saturating_mul(channels)],
            2 => vec![rows, columns],
            _ => vec![rows, columns, channels],
        };
        let fits = |sizes: &Sizes| {
            let same = field.dims.iter().zip(&own).all(|(d, n)| sizes.get(*d).is_none_or(|size| size == *n as u64));
            same && (own.len() != 2 || channels == 1)
        };
        if !fits(sizes) {
            return Err(self.unlike((field, all), sizes));
        }
        if points == 0 || points > MOST_POINTS {
            let message = format!("`{}` says that it has {rows} x {columns} points", self.file);
            return Err(Fault::new(Code::G0502, message).hint("no image of that size is read; is the file damaged?"));
        }
        field.dims.iter().zip(&own).for_each(|(d, n)| sizes.set(*d, *n as u64));
        // One dim for rows and columns takes square images only.
        if fits(sizes) { Ok(self) } else { Err(self.unlike((field, all), sizes)) }
    }

    fn unlike(&self, (field, dims): (&Field, &[Dim]), sizes: &Sizes) -> Fault {
        let [rows, columns, channels] = self.size;
        let message = format!(
            "`{}` has {rows} rows, {columns} columns and {channels} channel{}, but field `{}` is declared over [{}]",
            self.file,
            if channels == 1 { "" } else { "s" },
            field.name,
            shown(field, dims, sizes)
        );
        let flat = field.dims.len() == 2 && channels > 1;
        Fault::new(Code::G0502, message).hint(match flat {
            true => "declare the channels too: `real[row, column, channel]`; or convert the images to gray",
            false => "all images of a field have one size, that of the first if the dims are open: scale or crop this one, or change the dims",
        })
    }

    /// Appends the entries: row by row, the channels of a point together.
    fn read_into(self, entries: &mut Vec<u8>) -> Result<(), Fault> {
        let start = entries.len();
        entries.resize(start + self.size.iter().product::<usize>(), 0);
        let room = &mut entries[start..];
        match self.body {
            Body::Png(mut reader) => reader.next_frame(room).map(|_| ()).map_err(|e| bad(&self.file, "PNG", &e)),
            Body::Jpeg(mut decoder) => decoder.decode_into(room).map_err(|e| bad(&self.file, "JPEG", &e)),
        }
    }
}

fn bad(file: &str, format: &str, e: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::G0501, format!("`{file}` cannot be read as {format}: {}", e.to_string().trim_end()))
        .hint("it is damaged or cut off; save it again, or take it out of the folder")
}

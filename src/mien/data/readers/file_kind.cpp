#include "mien/data/readers/file_kind.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "mien/core/text.h"

namespace mien::data {
namespace {

using std::string_view_literals::operator""sv;

/// Bytes that a kind of file has at a place.
struct Mark {
  size_t at;
  std::string_view bytes;
  ForeignFile file;
};

constexpr std::string_view kUnpack = "unpack it and name the csv or the folder inside";
constexpr std::string_view kExport = "export it as csv first";
constexpr std::string_view kConvertPicture = "convert it to png first";

constexpr std::array kMarks{
    Mark{0, "\x1f\x8b"sv, {"a gzip archive", kUnpack}},
    Mark{0, "BZh"sv, {"a bzip2 archive", kUnpack}},
    Mark{0, "\xfd\x37zXZ\0"sv, {"an xz archive", kUnpack}},
    Mark{0, "\x28\xb5\x2f\xfd"sv, {"a zstd archive", kUnpack}},
    Mark{0, "7z\xbc\xaf\x27\x1c"sv, {"a 7z archive", kUnpack}},
    Mark{0, "Rar!\x1a\x07"sv, {"a rar archive", kUnpack}},
    Mark{257, "ustar"sv, {"a tar archive", kUnpack}},
    Mark{
        0, "version https://git-lfs"sv, {"a Git LFS pointer, not the file itself", "fetch the file with git lfs pull"}},
    Mark{0, "PAR1"sv, {"a parquet table", kExport}},
    Mark{0, "ARROW1"sv, {"an arrow table", kExport}},
    Mark{0, "\x93NUMPY"sv, {"a numpy array", kExport}},
    Mark{0, "\x89HDF\r\n"sv, {"an HDF5 file", kExport}},
    Mark{0, "MATLAB "sv, {"a MATLAB file", kExport}},
    Mark{0, "SQLite format 3"sv, {"an SQLite database", kExport}},
    Mark{0, "\xd0\xcf\x11\xe0"sv, {"an old Excel or Word file", "save it as 'CSV UTF-8'"}},
    Mark{0, "\x80\x02"sv, {"a Python pickle", kExport}},
    Mark{0, "\x80\x03"sv, {"a Python pickle", kExport}},
    Mark{0, "\x80\x04\x95"sv, {"a Python pickle", kExport}},
    Mark{0, "\x80\x05\x95"sv, {"a Python pickle", kExport}},
    Mark{0, "%PDF"sv, {"a PDF file", "name a csv of faces or a folder of pictures"}},
    Mark{0, "GIF8"sv, {"a gif picture", kConvertPicture}},
    Mark{128, "DICM"sv, {"a DICOM picture", kConvertPicture}},
    Mark{4, "ftyphei"sv, {"a heic picture", kConvertPicture}},
    Mark{4, "ftypmif1"sv, {"a heif picture", kConvertPicture}},
    Mark{4, "ftypavif"sv, {"an avif picture", kConvertPicture}},
    Mark{4, "ftyp"sv, {"a video", "extract its frames as png first"}},
    Mark{0, "\0\0\0\x0cjP  "sv, {"a JPEG 2000 picture", kConvertPicture}},
    Mark{0, "\xff\x4f\xff\x51"sv, {"a JPEG 2000 picture", kConvertPicture}},
    Mark{0, "\xff\x0a"sv, {"a JPEG XL picture", kConvertPicture}},
    Mark{0, "8BPS"sv, {"a Photoshop picture", kConvertPicture}},
    Mark{0, "\x76\x2f\x31\x01"sv, {"an OpenEXR picture", kConvertPicture}},
    Mark{0, "#?RADIANCE"sv, {"a Radiance HDR picture", kConvertPicture}},
    Mark{0, "\0\0\1\0"sv, {"an icon", kConvertPicture}},
    Mark{0, "\x59\xa6\x6a\x95"sv, {"a Sun raster picture", kConvertPicture}},
    Mark{0,
         "\x7f"
         "ELF"sv,
         {"a program", "name a csv of faces or a folder of pictures"}},
};

bool has(std::string_view bytes, size_t at, std::string_view wanted) {
  return bytes.size() >= at + wanted.size() && bytes.substr(at, wanted.size()) == wanted;
}

/// Reads whole numbers out of bytes; past the end it gives 0 and remembers it.
class Numbers {
 public:
  Numbers(std::string_view bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}
  uint64_t at(uint64_t place, uint64_t size) {
    if (place > bytes_.size() || size > bytes_.size() - place) {
      failed_ = true;
      return 0;
    }
    uint64_t value = 0;
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t byte = static_cast<uint8_t>(bytes_[place + (big_endian_ ? i : size - 1 - i)]);
      value = value << 8 | byte;
    }
    return value;
  }
  bool failed() const { return failed_; }

 private:
  std::string_view bytes_;
  bool big_endian_;
  bool failed_ = false;
};

PictureSize size_of(uint64_t width, uint64_t height) {
  return {static_cast<int64_t>(width), static_cast<int64_t>(height)};
}

/// Size in the first frame header (SOF0 to SOF15).
PictureSize jpeg_size(Numbers& numbers) {
  uint64_t at = 2;
  while (!numbers.failed()) {
    if (numbers.at(at, 1) != 0xff) return {};
    const uint64_t marker = numbers.at(at + 1, 1);
    if (marker == 0xff) {  // a fill byte
      ++at;
      continue;
    }
    const bool is_frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (is_frame) return size_of(numbers.at(at + 7, 2), numbers.at(at + 5, 2));
    const bool has_length = marker != 0x01 && (marker < 0xd0 || marker > 0xd8);
    if (marker == 0xd9 || marker == 0xda) return {};
    at += 2 + (has_length ? numbers.at(at + 2, 2) : 0);
  }
  return {};
}

/// Tags ImageWidth and ImageLength of the first directory; BigTIFF has wider places.
PictureSize tiff_size(Numbers& numbers) {
  const bool big = numbers.at(2, 2) == 43;
  const uint64_t directory = big ? numbers.at(8, 8) : numbers.at(4, 4);
  const uint64_t entries = numbers.at(directory, big ? 8 : 2);
  PictureSize size;
  for (uint64_t i = 0; i < entries && i < 4096 && !numbers.failed(); ++i) {
    const uint64_t entry = directory + (big ? 8 + 20 * i : 2 + 12 * i);
    const uint64_t tag = numbers.at(entry, 2);
    const uint64_t bytes = numbers.at(entry + 2, 2) == 3 ? 2 : 4;  // SHORT or LONG
    const auto value = static_cast<int64_t>(numbers.at(entry + (big ? 12 : 8), bytes));
    if (tag == 256) size.width = value;
    if (tag == 257) size.height = value;
  }
  return size;
}

PictureSize webp_size(std::string_view bytes, Numbers& numbers) {
  if (has(bytes, 12, "VP8X")) return size_of(1 + numbers.at(24, 3), 1 + numbers.at(27, 3));
  if (has(bytes, 12, "VP8L")) {
    const uint64_t bits = numbers.at(21, 4);
    return size_of(1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff));
  }
  if (has(bytes, 12, "VP8 ")) return size_of(numbers.at(26, 2) & 0x3fff, numbers.at(28, 2) & 0x3fff);
  return {};
}

PictureSize bmp_size(Numbers& numbers) {
  if (numbers.at(14, 4) == 12) return size_of(numbers.at(18, 2), numbers.at(20, 2));
  const auto height = static_cast<int32_t>(numbers.at(22, 4));  // negative where the first line is the top one
  return {static_cast<int32_t>(numbers.at(18, 4)), std::abs(static_cast<int64_t>(height))};
}

/// Width and height are the first two numbers behind the mark; a # starts a comment.
PictureSize pnm_size(std::string_view bytes) {
  std::array<int64_t, 2> values{};
  size_t at = 2;
  for (int64_t& value : values) {
    while (at < bytes.size() && (bytes[at] < '0' || bytes[at] > '9')) {
      if (bytes[at] == '#') at = std::min(bytes.find('\n', at), bytes.size());
      if (at < bytes.size()) ++at;
    }
    for (; at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9'; ++at) {
      if (value < 1'000'000'000) value = value * 10 + (bytes[at] - '0');
    }
  }
  return {values[0], values[1]};
}

}  // namespace

std::optional<PictureFormat> picture_format(std::string_view bytes) {
  if (has(bytes, 0, "\x89PNG\r\n\x1a\n"sv)) return PictureFormat::png;
  if (has(bytes, 0, "\xff\xd8\xff"sv)) return PictureFormat::jpeg;
  if (has(bytes, 0, "RIFF") && has(bytes, 8, "WEBP")) return PictureFormat::webp;
  for (const std::string_view mark : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {
    if (has(bytes, 0, mark)) return PictureFormat::tiff;
  }
  // These marks are short; what follows must fit as well, so that a text is not taken for a picture.
  if (has(bytes, 0, "BM") && bytes.size() >= 26 && has(bytes, 15, "\0\0\0"sv)) return PictureFormat::bmp;
  const bool is_space = bytes.size() > 2 && (bytes[2] == '\n' || bytes[2] == ' ' || bytes[2] == '\t' ||
                                             bytes[2] == '\r' || bytes[2] == '#');
  if (is_space && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6') return PictureFormat::pnm;
  return std::nullopt;
}

std::string_view to_text(PictureFormat format) {
  constexpr std::array kNames{"png"sv, "jpg"sv, "bmp"sv, "tif"sv, "webp"sv, "pgm or ppm"sv};
  return kNames[static_cast<size_t>(format)];
}

std::optional<ForeignFile> foreign_file(std::string_view bytes) {
  if (has(bytes, 0, "PK\3\4"sv) || has(bytes, 0, "PK\5\6"sv)) {
    const std::string_view start = bytes.substr(0, kTellingBytes);
    if (start.find("[Content_Types].xml") != start.npos || start.find("xl/") != start.npos) {
      return ForeignFile{"an Excel or Word file", "save it as 'CSV UTF-8'"};
    }
    if (start.find(".npy") != start.npos) return ForeignFile{"a numpy archive (npz)", kExport};
    if (start.find("data.pkl") != start.npos) return ForeignFile{"a PyTorch file", kExport};
    return ForeignFile{"a zip archive", kUnpack};
  }
  for (const Mark& mark : kMarks) {
    if (has(bytes, mark.at, mark.bytes)) return mark.file;
  }
  std::string_view text = bytes.substr(0, kTellingBytes);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const std::string start = lower(trim(text));
  if (start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head")) {
    return ForeignFile{"a web page",
                       "the download asked for something first (a login, a consent): open it in a browser"};
  }
  if (start.starts_with("<svg")) return ForeignFile{"an svg picture", kConvertPicture};
  if (start.starts_with("<?xml")) return ForeignFile{"an XML file", kExport};
  if (start.starts_with("{") || start.starts_with("[")) return ForeignFile{"a JSON file", kExport};
  return std::nullopt;
}

std::optional<PictureSize> picture_size(PictureFormat format, std::string_view bytes) {
  Numbers big(bytes, true);
  Numbers little(bytes, false);
  PictureSize size;
  switch (format) {
    case PictureFormat::png:
      if (has(bytes, 12, "IHDR")) size = size_of(big.at(16, 4), big.at(20, 4));
      break;
    case PictureFormat::jpeg:
      size = jpeg_size(big);
      break;
    case PictureFormat::bmp:
      size = bmp_size(little);
      break;
    case PictureFormat::tiff:
      size = tiff_size(bytes.starts_with('M') ? big : little);
      break;
    case PictureFormat::webp:
      size = webp_size(bytes, little);
      break;
    case PictureFormat::pnm:
      size = pnm_size(bytes);
      break;
  }
  if (big.failed() || little.failed() || size.width < 1 || size.height < 1) return std::nullopt;
  return size;
}

}  // namespace mien::data

#pragma once

#include <filesystem>
#include <string>

namespace mien::photo {

/// The committed photograph with one face.
std::filesystem::path astronaut();

/// Writes it into `folder` in ways that programs have trouble with: rgba.png, sixteen.png (16 bits), gray.png,
/// cmyk.jpg, exif6.jpg and exif3.jpg (turned, with the orientation that turns them back), deep.tif (16 bits); all show
/// the face.
void write_odd_pictures(const std::filesystem::path& folder);

/// Files that no face can be read from: cut.jpg, text.png, empty.jpg, moving.gif, moving.webp, wall.png (no face).
void write_bad_pictures(const std::filesystem::path& folder);

}  // namespace mien::photo

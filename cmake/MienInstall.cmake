# What `cmake --install` puts where, and the Debian packages that CPack makes of it: mien (the programs) and libmien-dev
# (headers, archives, CMake files for `find_package(Mien)`).
include(CMakePackageConfigHelpers)

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Mien)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/mien DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.h" PATTERN cli EXCLUDE PATTERN infer EXCLUDE PATTERN kernels EXCLUDE)
install(FILES ${PROJECT_BINARY_DIR}/generated/mien/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mien COMPONENT development)
install(TARGETS mien_torch EXPORT MienTargets COMPONENT development)
install(EXPORT MienTargets NAMESPACE Mien:: DESTINATION ${config_folder} COMPONENT development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/MienConfig.cmake.in ${PROJECT_BINARY_DIR}/MienConfig.cmake
                              INSTALL_DESTINATION ${config_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/MienConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/MienConfig.cmake ${PROJECT_BINARY_DIR}/MienConfigVersion.cmake
        DESTINATION ${config_folder} COMPONENT development)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT programs)

if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR "Mien")
set(CPACK_PACKAGE_CONTACT "The Mien developers <mien@localhost>")
set(CPACK_COMPONENTS_ALL programs development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME mien)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_DEPENDS "libopenblas0-pthread")
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_RECOMMENDS "fonts-dejavu-core, opencv-data")
set(CPACK_DEBIAN_PROGRAMS_DESCRIPTION
    "train, judge and explain facial-expression classifiers\n From a csv of faces to a trained, honestly judged and explained classifier.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmien-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libtorch-dev, libonnx-dev, libprotobuf-dev, libfmt-dev, libtomlplusplus-dev, libopencv-dev, libjpeg-dev, libpng-dev, libpango1.0-dev, libcpp-httplib-dev, pkgconf")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
    "library to train, judge and explain facial-expression classifiers\n Headers, static libraries and CMake files: find_package(Mien).")
include(CPack)

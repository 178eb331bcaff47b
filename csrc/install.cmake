# What `cmake --install` copies. The result may be moved: no file in it holds the prefix.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/camfast")

foreach(kind IN ITEMS shared static)
  install(TARGETS camfast_${kind} EXPORT camfast-${kind}-targets
    RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT camfast_runtime
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT camfast_runtime NAMELINK_COMPONENT camfast_development
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT camfast_development
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT camfast-${kind}-targets NAMESPACE camfast:: DESTINATION "${package}" COMPONENT camfast_development)
endforeach()
if(TARGET camfast_cuda)
  install(TARGETS camfast_cuda EXPORT camfast-cuda-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT camfast_development
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT camfast-cuda-targets NAMESPACE camfast:: DESTINATION "${package}" COMPONENT camfast_development)
endif()

if(NOT TARGET camfast_cuda)  # headers without their library would fail at the link
  set(left_out PATTERN cuda EXCLUDE)
endif()
install(DIRECTORY csrc/include/camfast "${PROJECT_BINARY_DIR}/include/camfast"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT camfast_development FILES_MATCHING PATTERN "*.h" ${left_out})

configure_package_config_file(csrc/camfastConfig.cmake.in "${PROJECT_BINARY_DIR}/camfastConfig.cmake"
  INSTALL_DESTINATION "${package}" NO_SET_AND_CHECK_MACRO)
# before 1.0 a minor version may change the interface
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatible SameMinorVersion)
else()
  set(compatible SameMajorVersion)
endif()
write_basic_package_version_file("${PROJECT_BINARY_DIR}/camfastConfigVersion.cmake" COMPATIBILITY ${compatible})
install(FILES "${PROJECT_BINARY_DIR}/camfastConfig.cmake" "${PROJECT_BINARY_DIR}/camfastConfigVersion.cmake"
  DESTINATION "${package}" COMPONENT camfast_development)

# A folder of the prefix as pkg-config sees it, from the place of camfast.pc; whole paths stay as they are.
foreach(folder IN ITEMS LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${folder}}")
    set(pc_${folder} "${CMAKE_INSTALL_${folder}}")
  else()
    set(pc_${folder} "\${prefix}/${CMAKE_INSTALL_${folder}}")
  endif()
endforeach()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
configure_file(csrc/camfast.pc.in "${PROJECT_BINARY_DIR}/camfast.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/camfast.pc"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT camfast_development)
